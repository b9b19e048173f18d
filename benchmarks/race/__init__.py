"""A race: sessions in fresh processes until every speedup is known, the headline, training."""
