"""Word vectors by word2vec: skip-gram and CBOW with negative sampling (Mikolov et al. 2013).

`run` is the whole of it, from raw text to a package; `engine` chooses between three ways to compute the same.
"""
