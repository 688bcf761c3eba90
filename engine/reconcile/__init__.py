"""Whether the ledger, the books and the processors say the same, down to the payment.

The deciding is pure (`span`, `asks`, `locate`, `finding`, `check`, `again`): generators that give asks out and are
handed answers. `driver` carries asks out; `ours`, `books` and `client` know the ledger, the engine's memory and the
processors; `cases` keeps in the ledger what was found, in all its versions.
"""
