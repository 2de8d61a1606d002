"""What reaches outside: LiveKit, the other services, the tenant's backend, Redis."""
