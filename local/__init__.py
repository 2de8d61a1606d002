"""The whole mesh on one machine: one topology, embedded servers, a supervisor and a synthetic caller."""
