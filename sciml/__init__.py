"""Write a PDE once; solve it, learn it, fit it, filter it, correct it."""
