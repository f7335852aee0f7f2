"""Jurat: one control plane for accountable AI."""
