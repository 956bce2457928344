"""Building blocks of the models: attention, recurrent layers, positions, dropout, the loss, the CRF."""
