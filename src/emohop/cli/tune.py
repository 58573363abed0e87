"""emohop tune: settings chosen on dev."""
