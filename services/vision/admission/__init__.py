"""Shares out what is scarce: tracks per tenant, decoding slots, and reads of streams that send refused offers."""
