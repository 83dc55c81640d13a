"""What each bundle carries: its runners, which know nothing of hetsim."""
