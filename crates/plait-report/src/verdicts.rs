//! What a recording says: figures, rules, advice.
