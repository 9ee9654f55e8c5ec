package archive

import "github.com/godwit-mail/godwit/sync/engine"

var (
	_ engine.Writer = (*Recording)(nil)
	_ engine.Rooted = (*Recording)(nil)
	_ engine.Writer = (*View)(nil)
)
