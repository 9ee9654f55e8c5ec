package main

import (
	"fmt"
	"strings"

	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// place says a side to a person.
func place(s plan.Side) string {
	if s == plan.Local {
		return "here"
	}
	return "on the server"
}

// actionText tells of one effect: "copied here, 1.2 kB".
func actionText(e engine.Event) string {
	place := place
	if isBackup(e) {
		place = archivePlace
	}
	verb := map[engine.Verb]string{
		engine.VerbCopied: "copy", engine.VerbAdopted: "join", engine.VerbFlagged: "flag", engine.VerbMoved: "move",
		engine.VerbDeleted: "delete", engine.VerbCreated: "create", engine.VerbRenamed: "rename", engine.VerbRemoved: "remove",
	}[e.Verb]
	done := string(e.Verb)
	if e.Planned {
		done = "would " + verb
	}
	var text string
	switch e.Verb {
	case engine.VerbCopied:
		text = done + " " + place(e.Side)
		switch {
		case isBackup(e):
			text = done + " into the archive"
		case e.Side == plan.Remote:
			text = done + " to the server"
		}
		if e.Size > 0 {
			text += ", " + bytesText(e.Size)
		}
	case engine.VerbAdopted:
		text = done + ": it is on both sides already"
	case engine.VerbFlagged:
		text = done + " " + place(e.Side) + ":" + flagsText(e)
	case engine.VerbMoved, engine.VerbRenamed:
		text = done + " " + place(e.Side) + " to " + string(e.To)
	case engine.VerbCreated, engine.VerbRemoved:
		text = "mailbox " + done + " " + place(e.Side)
		if e.Planned {
			text = done + " the mailbox " + place(e.Side)
		}
	default:
		text = done + " " + place(e.Side)
	}
	if !e.Digest.IsZero() {
		text += " [" + e.Digest.String()[:12] + "]"
	}
	said := strings.Contains(text, e.Text) || e.Verb == engine.VerbDeleted && e.Text == "deleted "+place(e.Side.Other())
	if !said {
		text += " (" + e.Text + ")"
	}
	return text
}

func flagsText(e engine.Event) string {
	var b strings.Builder
	for _, f := range flagNames(e.Added) {
		b.WriteString(" +" + f)
	}
	for _, f := range flagNames(e.Removed) {
		b.WriteString(" -" + f)
	}
	return b.String()
}

// eventText is one line about an event, after the account's name.
func eventText(e engine.Event) string {
	text := e.Text
	switch e.Kind {
	case engine.Action:
		text = actionText(e)
	case engine.Faulted:
		if text == "" && e.Err != nil {
			text = e.Err.Error()
		}
	case engine.Held:
		if text == "" {
			text = fmt.Sprintf("%s held (%s)", count(e.Count, "deletion"), e.Reason)
		}
	}
	if text == "" {
		text = string(e.Reason)
	}
	if e.Kind == engine.Noted && !e.Digest.IsZero() {
		text += " [" + e.Digest.String()[:12] + "]"
	}
	if e.Mailbox != "" && !strings.HasPrefix(text, string(e.Mailbox)+":") {
		text = string(e.Mailbox) + ": " + text
	}
	return text
}

// reportText is the summary of one account's run.
func reportText(r *engine.Report, exit exitCode, dry bool) string {
	var parts []string
	add := func(what string, n [2]int, noun string) {
		var where []string
		for _, s := range plan.Sides {
			if n[s] == 0 {
				continue
			}
			number := fmt.Sprint(n[s])
			if len(where) == 0 {
				number = count(n[s], noun)
			}
			if what == "copied" && s == plan.Remote {
				where = append(where, number+" to the server")
			} else {
				where = append(where, number+" "+place(s))
			}
		}
		if len(where) > 0 {
			parts = append(parts, what+" "+strings.Join(where, " and "))
		}
	}
	add("created", r.Created, "mailbox")
	add("renamed", r.Renamed, "mailbox")
	add("copied", r.Copied, "message")
	add("flagged", r.Flagged, "message")
	add("moved", r.Moved, "message")
	add("deleted", r.Deleted, "message")
	add("removed", r.Removed, "mailbox")
	if r.Adopted > 0 {
		parts = append(parts, "joined "+count(r.Adopted, "message")+" that both sides had")
	}
	text := strings.Join(parts, ", ")
	if dry {
		if text == "" {
			return "a run would change nothing" + waitingText(r)
		}
		return "a run would have: " + text + waitingText(r)
	}
	switch {
	case text != "":
	case exit == exitInterrupted:
		text = "stopped before anything was done"
	default:
		text = "nothing changed"
	}
	if exit == exitOK {
		return fmt.Sprintf("%s; %s in %s agree", text, count(r.Messages, "message"), count(r.Mailboxes, "mailbox"))
	}
	return text + waitingText(r)
}

// waitingText tells why both sides do not agree yet.
func waitingText(r *engine.Report) string {
	var parts []string
	if n := len(r.Faults); n > 0 {
		parts = append(parts, count(n, "error"))
	}
	if r.Held > 0 {
		parts = append(parts, count(r.Held, "message")+" held")
	}
	if r.HeldBoxes > 0 {
		parts = append(parts, count(r.HeldBoxes, "vanished mailbox")+" held")
	}
	if r.Pending > 0 {
		parts = append(parts, count(r.Pending, "change")+" pending")
	}
	if r.EmptyRoot {
		parts = append(parts, "the Maildir is empty or missing")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; not yet in step: " + strings.Join(parts, ", ")
}
