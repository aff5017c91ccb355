"""Tables, plots and pages made from the store alone. Imports no torch."""
