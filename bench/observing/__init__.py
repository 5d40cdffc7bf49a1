"""The parts of `make bench-observe`: each measures one promise of `plait record`, and says what it found beside its goal."""
