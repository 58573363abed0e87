"""From media to numbers: sound, prosody, words and pictures."""
