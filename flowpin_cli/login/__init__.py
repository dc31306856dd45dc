"""Signs a person in at an OpenID Connect issuer, for commands that call an installation over REST."""
