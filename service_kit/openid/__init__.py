"""Signs a person in at an OpenID Connect issuer, for `flowpin login` and the console."""
