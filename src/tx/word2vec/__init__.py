"""Word vectors by word2vec: skip-gram and CBOW with negative sampling (Mikolov et al. 2013).

`corpus` encodes a text as ids on disk, `engine` chooses between three implementations of the training, and
`tx.tasks.vectors` runs it.
"""
