"""Values, schemas and READMEs of the Helm charts, generated from deploy/helm/chassis/spec and the Settings classes."""
