"""The findings as a person, a program and a README read them."""
