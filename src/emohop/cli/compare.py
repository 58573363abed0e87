"""emohop compare: runs beside each other."""
