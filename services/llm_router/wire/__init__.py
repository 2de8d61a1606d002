"""Translation between protobuf messages and the domain; requests are validated here."""
