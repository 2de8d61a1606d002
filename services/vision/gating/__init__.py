"""Decides for one frame of one track: keep it, skip it, or refresh an old keyframe."""
