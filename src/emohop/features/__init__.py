"""From media to numbers: audio, prosody, text and video."""
