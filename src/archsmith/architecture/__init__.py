"""What a network is: a tree of frozen specs with exact formulas. Imports no torch."""
