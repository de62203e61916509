"""Sentinel's work itself: plain Python that knows no orchestrator."""
