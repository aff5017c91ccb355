"""Model files that stock tools load, and the gate that proves they do."""
