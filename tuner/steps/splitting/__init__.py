"""Plans in which several devices share operators: found by measuring parts of many sizes in few serial runs."""
