"""SciPy's functions beyond its ufuncs, as composites of NumPy's functions on Arrays.

`names` says which there are and has them called where one of SciPy's is called with a traced
value; a file for each of SciPy's modules has what is called.
"""
