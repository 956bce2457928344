"""Building blocks of the models: attention, positions, dropout, the loss."""
