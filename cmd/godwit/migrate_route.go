package main

import (
	"fmt"
	"strings"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate"
	"github.com/godwit-mail/godwit/cmd/godwit/migrate/folders"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A known server says what it is, and how it builds names, once it was surveyed.
type knownServer interface {
	Server() (greeting string, caps []string, separator, prefix string)
}

// serverOf recognises a server.
func serverOf(side engine.Writer) (folders.Server, folders.Rules) {
	k, is := side.(knownServer)
	if !is {
		return folders.Unknown, folders.RulesOf(folders.Unknown)
	}
	greeting, caps, separator, prefix := k.Server()
	server := folders.Recognise(greeting, caps)
	return server, folders.RulesOf(server).Told(prefix, separator)
}

// router gives the rules by which mailboxes are routed between two servers.
func (m *migration) router(q migrate.Question) (routes []migrate.Route, notes []string) {
	origin, _ := serverOf(m.sides.Origin)
	_, rules := serverOf(m.sides.Target)
	used := make(map[mail.MailboxName]folders.Used, len(q.Used))
	for name, u := range q.Used {
		used[name] = folders.Used{Target: u.To, Asked: u.Asked}
	}
	p := folders.Map(folders.Input{
		Origin: boxesOf(q.Origin), Target: boxesOf(q.Target), OriginServer: origin, Rules: rules,
		Options: m.names, Used: used, Refused: q.Refused,
	})
	for i := range p.Folders {
		if f := &p.Folders[i]; f.Left != folders.LeftContainer {
			routes = append(routes, m.routeOf(f, origin))
		}
	}
	for _, n := range p.Notes {
		notes = append(notes, n.Text)
	}
	return routes, notes
}

func boxesOf(list []plan.Box) []folders.Box {
	out := make([]folders.Box, len(list))
	for i, b := range list {
		out[i] = folders.Box{Name: b.Name, Role: b.Role, Container: b.Container}
	}
	return out
}

// routeOf says what becomes of one mailbox.
func (m *migration) routeOf(f *folders.Folder, server folders.Server) migrate.Route {
	r := migrate.Route{From: f.Origin.Name, To: f.Target, Use: f.Use, Asked: f.Asked, Moved: f.Was, Why: string(f.Left)}
	switch {
	case f.Virtual && f.Target != "" && !m.named(f.Origin.Name):
		r.To, r.Moved, r.Why = "", "", string(folders.LeftVirtual)
		if r.Lost = server == folders.Gmail; r.Lost {
			r.Why = fmt.Sprintf("mail that lies in no other mailbox is not carried: name it with --folder %q to carry all of it as a mailbox", f.Origin.Name)
		}
	case f.Target != "":
		r.Why = reasonsOf(f)
	}
	return r
}

// reasonsOf says why a mailbox does not simply keep its name; "" if it does.
func reasonsOf(f *folders.Folder) string {
	var why []string
	if f.Target != f.Origin.Name && f.Why != folders.ByName {
		why = append(why, string(f.Why))
	}
	for _, c := range f.Changes {
		why = append(why, c.String())
	}
	return strings.Join(why, "; ")
}

// named tells whether the user named a mailbox as such.
func (m *migration) named(name mail.MailboxName) bool {
	return m.names.Scope != nil && m.names.Scope.Names(name)
}

// A scope is what both the account and the flags take in.
type scope struct {
	account folders.Scope
	flags   folders.Scope // nil: they say nothing
}

// Match implements folders.Scope.
func (s scope) Match(name mail.MailboxName) bool {
	return s.account.Match(name) && (s.flags == nil || s.flags.Match(name))
}

// Names implements folders.Scope.
func (s scope) Names(name mail.MailboxName) bool {
	return s.Match(name) && (s.account.Names(name) || s.flags != nil && s.flags.Names(name))
}
