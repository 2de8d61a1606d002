"""Speech to text and text to speech for the gateway and for other services.

The service decides two things: when a speaker has finished (endpointing, preflight), and which part of a text that a
model still writes is ready to be spoken (segmenter). Recognition and synthesis are adapters: Deepgram and ElevenLabs
where their keys are set, embedded engines otherwise. The embedded engines need neither key nor network and serve trials
only: the recogniser knows English and, in practice, only the phrases that the request's key terms announce.
"""
