package imap

import "github.com/godwit-mail/godwit/mail"

// strangers are messages that came to the account while it was looked at. One
// of them could be a message that has gone elsewhere; there may be many of
// both, so they are sorted by what is known of them.
type strangers [2][2]kinship // by whether the server's own name and the header are known

// A kinship is those strangers of which the same is known.
type kinship struct {
	some    bool // there is one
	unsized bool // there is one of unknown size
	globals map[string]bool
	lights  map[mail.Digest]bool
	sizes   map[int64]bool
}

func newStrangers(t *table) (s strangers) {
	for i := range t.rows {
		r := &t.rows[i]
		header := r.have&haveHeader != 0
		k := &s[index(r.gid != "")][index(header)]
		if !k.some {
			*k = kinship{some: true, globals: map[string]bool{}, lights: map[mail.Digest]bool{}, sizes: map[int64]bool{}}
		}
		k.globals[r.gid] = true
		if header {
			k.lights[r.ident.Light] = true
		}
		if r.have&haveSize == 0 {
			k.unsized = true
		} else {
			k.sizes[r.identity().Size] = true
		}
	}
	return s
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mayHold tells whether one of the strangers could be the message id. Sizes
// are compared only where nothing better is known: servers estimate them.
func (s *strangers) mayHold(id *mail.Identity) bool {
	for named := range s {
		for headed := range s[named] {
			k := &s[named][headed]
			found := false
			switch {
			case !k.some:
			case id.GlobalID != "" && named == 1:
				found = k.globals[id.GlobalID]
			case headed == 1 && !id.Light.IsZero():
				found = k.lights[id.Light]
			default:
				found = id.Size <= 0 || k.unsized || k.sizes[id.Size]
			}
			if found {
				return true
			}
		}
	}
	return false
}
