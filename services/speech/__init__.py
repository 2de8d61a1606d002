"""Decides when a speaker has finished and what text is ready to be spoken, for the gateway and any other caller.

Recognisers and voices are adapters: Deepgram and ElevenLabs where their keys are set, embedded engines otherwise. The
embedded ones need no key and no network and are for trying things out: the recogniser knows English and, in practice,
only what the tenant's key terms let it expect.
"""
