"""The contracts, installed with everything else: `flowpin protos` writes them."""
