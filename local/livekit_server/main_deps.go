//go:build tools

// Package tools pins the LiveKit server that the embedded mesh builds when none is on PATH.
package tools

import _ "github.com/livekit/livekit-server/cmd/server"
