"""Signing a person in at an OpenID Connect issuer: `flowpin login` and the console do it with these."""
