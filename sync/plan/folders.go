package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
)

// FolderInput is all that Folders looks at.
type FolderInput struct {
	Boxes []BoxRecord
	Seen  [2][]Box
	Scope func(mail.MailboxName, mail.Role) bool
	// Renamed are the mailboxes that are proved to have another name now, a side.
	Renamed [2]map[mail.BoxID]mail.MailboxName
	// Undecided are renames that could not be looked into: neither name is
	// touched in this run.
	Undecided []Rename
	Policy    Policy
	// Accept and Reject are the user's word on mailboxes that are held.
	Accept, Reject bool
	// Refill makes every mailbox that is missing on one side again (adoption).
	Refill bool
}

// FolderKind is what is to be done about a mailbox.
type FolderKind uint8

// The kinds of FolderOp.
const (
	FolderCreate FolderKind = iota + 1 // make Name on Side
	FolderRename                       // give Name on Side the name To
	FolderRemove                       // its messages go like any others, then remove Name on Side
)

// A FolderOp is one effect on a mailbox of a side.
type FolderOp struct {
	Kind   FolderKind
	Side   Side
	Record int // index into FolderPlan.Records
	Name   mail.MailboxName
	To     mail.MailboxName
}

// FolderPlan is what Folders decided.
type FolderPlan struct {
	// Records are all pairs as they should now stand, in the order of their
	// names: new ones have ID 0, Dormant is up to date, and a half that is
	// not there (yet) has the flag in There unset.
	Records []BoxRecord
	There   [][2]bool
	Ops     []FolderOp // in the order in which they must be done
	Forget  []mail.BoxID
	// Vanished are records whose mailbox one side no longer lists, and that are held.
	Vanished []VanishedBox
	// Restored are records whose mailbox is made again on that side: the rows
	// bound there are to be copied back.
	Restored []VanishedBox
}

// VanishedBox says on which side a mailbox is no longer.
type VanishedBox struct {
	Record int
	Side   Side
}

// Folders decides what becomes of mailboxes: what one side has and the other
// never had is created there; a proved rename is carried over; what vanished
// is held, never inferred to be empty.
func Folders(in FolderInput) FolderPlan {
	f := folders{in: in}
	for _, s := range Sides {
		f.seen[s] = map[mail.MailboxName]*Box{}
		for i := range in.Seen[s] {
			f.seen[s][in.Seen[s][i].Name] = &in.Seen[s][i]
		}
	}
	for _, rec := range in.Boxes {
		f.known(rec)
	}
	f.unknown()
	f.order()
	return f.plan
}

type folders struct {
	in   FolderInput
	seen [2]map[mail.MailboxName]*Box
	used [2]map[mail.MailboxName]bool
	plan FolderPlan
	// renames are those among plan.Ops: few, where much is created.
	renames []FolderOp
}

// mailbox is what a side lists under a name, nil if it can hold no mail.
func (f *folders) mailbox(s Side, name mail.MailboxName) *Box {
	if b := f.seen[s][name]; b != nil && !b.Container {
		return b
	}
	return nil
}

func (f *folders) use(s Side, name mail.MailboxName) {
	if f.used[s] == nil {
		f.used[s] = map[mail.MailboxName]bool{}
	}
	f.used[s][name] = true
}

// claimed tells whether a pair of the index has a mailbox of that name on a side.
func (f *folders) claimed(s Side, name mail.MailboxName) bool {
	return f.used[s][name] || slices.ContainsFunc(f.in.Boxes, func(r BoxRecord) bool { return r.Side[s].Name == name })
}

// known decides a pair that the index remembers.
func (f *folders) known(rec BoxRecord) {
	var there, renamed [2]bool
	for _, s := range Sides {
		name := rec.Side[s].Name
		if to, ok := f.renamedTo(s, &rec); ok {
			rec.Side[s].Name, name, renamed[s] = to, to, true
		}
		if other := rec.Side[s.Other()].Name; name == "" && f.mailbox(s, other) != nil && !f.claimed(s, other) {
			// It was never there by our knowledge, but now it is: made by a run
			// that did not live to tell, or by the user.
			rec.Side[s].Name, name = other, other
		}
		if b := f.mailbox(s, name); name != "" && b != nil {
			there[s] = true
			f.use(s, name)
			f.refresh(&rec, s, b)
		}
	}
	rec.Dormant = !f.inScope(&rec)
	if !there[Local] && !there[Remote] {
		if !rec.Dormant && rec.ID != 0 {
			f.plan.Forget = append(f.plan.Forget, rec.ID)
			return
		}
	}
	k := len(f.plan.Records)
	f.plan.Records = append(f.plan.Records, rec)
	f.plan.There = append(f.plan.There, there)
	if rec.Dormant {
		return
	}
	for _, s := range Sides {
		if f.undecided(s, func(c Rename) bool { return c.Box == rec.ID }) {
			return
		}
	}
	for _, s := range Sides {
		t := s.Other()
		switch {
		case renamed[s] && (!renamed[t] || s == f.in.Policy.Prefer) && there[t] && rec.Side[t].Name != rec.Side[s].Name:
			f.follow(k, s)
		case !there[s] && there[t] && rec.Side[s].Name == "":
			f.create(k, s)
		case !there[s] && there[t]:
			f.vanished(k, s)
		}
	}
}

// renamedTo gives the name that a side is proved to have given to a mailbox.
// Where the other side has another mailbox of that name it counts for nothing:
// one name would stand for two.
func (f *folders) renamedTo(s Side, rec *BoxRecord) (mail.MailboxName, bool) {
	t := s.Other()
	to, ok := f.in.Renamed[s][rec.ID]
	if name, also := f.in.Renamed[t][rec.ID]; !ok || also && name == to || rec.Side[t].Name == to {
		return to, ok
	}
	taken := f.seen[t][to]
	return to, taken == nil || taken.Container && !f.in.Policy.Create[t]
}

func (f *folders) undecided(s Side, is func(Rename) bool) bool {
	return slices.ContainsFunc(f.in.Undecided, func(c Rename) bool { return c.Side == s && is(c) })
}

// refresh takes over what the survey tells of a mailbox that is there.
func (f *folders) refresh(rec *BoxRecord, s Side, b *Box) {
	rec.Side[s].ID = b.ID
	if b.Rights != (Rights{}) {
		rec.Side[s].Rights = b.Rights // else only a scan can tell
	}
	rec.Side[s].Missing = false
	if b.Role != mail.RoleNone || s == Remote {
		rec.Role = b.Role
	}
}

func (f *folders) inScope(rec *BoxRecord) bool {
	name := rec.Side[Remote].Name
	if name == "" || f.mailbox(Remote, name) == nil && rec.Side[Local].Name != "" {
		name = rec.Side[Local].Name
	}
	return f.in.Scope(name, rec.Role)
}

// follow carries a rename of side s over to the other side.
func (f *folders) follow(k int, s Side) {
	t := s.Other()
	rec := &f.plan.Records[k]
	to := rec.Side[s].Name
	if !f.in.Policy.Create[t] || f.seen[t][to] != nil {
		return // forbidden, or the name is taken: the names differ from now on
	}
	op := FolderOp{Kind: FolderRename, Side: t, Record: k, Name: rec.Side[t].Name, To: to}
	f.plan.Ops, f.renames = append(f.plan.Ops, op), append(f.renames, op)
}

func (f *folders) create(k int, s Side) {
	name := f.plan.Records[k].Side[s.Other()].Name
	if f.in.Policy.Create[s] && !f.used[s][name] { // else that mailbox is another's other half
		f.plan.Ops = append(f.plan.Ops, FolderOp{Kind: FolderCreate, Side: s, Record: k, Name: name})
	}
}

// vanished decides a mailbox that side s had and no longer lists.
func (f *folders) vanished(k int, s Side) {
	t := s.Other()
	rec := &f.plan.Records[k]
	v := VanishedBox{Record: k, Side: s}
	held := rec.Side[s].Missing
	switch {
	case (f.in.Refill || f.in.Reject && held) && f.in.Policy.Create[s]:
		f.plan.Restored = append(f.plan.Restored, v)
		f.plan.Ops = append(f.plan.Ops, FolderOp{Kind: FolderCreate, Side: s, Record: k, Name: rec.Side[s].Name})
	case (f.in.Accept && held || f.in.Policy.RemoveBoxes[t]) && f.in.Policy.Lose[t] && rec.Side[t].Name != mail.Inbox:
		f.plan.Ops = append(f.plan.Ops, FolderOp{Kind: FolderRemove, Side: t, Record: k, Name: rec.Side[t].Name})
	default:
		rec.Side[s].Missing = true
		f.plan.Vanished = append(f.plan.Vanished, v)
	}
}

// after is the name that a mailbox has when the renames of this run are done:
// one above it takes it along.
func (f *folders) after(s Side, name mail.MailboxName) mail.MailboxName {
	var above FolderOp // the nearest
	for _, o := range f.renames {
		if o.Side == s && name.Within(o.Name) && len(o.Name) > len(above.Name) {
			above = o
		}
	}
	if above.Name == "" {
		return name
	}
	return above.To + name[len(above.Name):]
}

// unknown makes pairs of mailboxes that the index does not know.
func (f *folders) unknown() {
	listed := map[mail.MailboxName][2]mail.MailboxName{} // by the name they will have
	names := map[mail.MailboxName]bool{}
	for _, s := range Sides {
		for name, b := range f.seen[s] {
			if !b.Container && !f.used[s][name] && !f.undecided(s, func(c Rename) bool { return c.To == name }) {
				to := f.after(s, name)
				both := listed[to]
				both[s] = name
				listed[to], names[to] = both, true
			}
		}
	}
	for _, to := range sortedNames(names) {
		var rec BoxRecord
		var there [2]bool
		for _, s := range Sides {
			if name := listed[to][s]; name != "" {
				there[s] = true
				rec.Side[s].Name = name
				f.refresh(&rec, s, f.seen[s][name])
			}
		}
		if !f.in.Scope(to, rec.Role) || there != [2]bool{true, true} && f.rejoin(to, &rec, there) {
			continue
		}
		k := len(f.plan.Records)
		f.plan.Records = append(f.plan.Records, rec)
		f.plan.There = append(f.plan.There, there)
		for _, s := range Sides {
			if !there[s] {
				f.create(k, s)
			}
		}
	}
}

// rejoin gives a mailbox that is listed on one side to the pair whose other
// half a rename of this run brings to the same name: it vanished there under
// its old name only because a mailbox above it was renamed, and could not be
// proved to be the same. What is bound there is matched anew.
func (f *folders) rejoin(to mail.MailboxName, found *BoxRecord, there [2]bool) bool {
	s := Local
	if there[Remote] {
		s = Remote
	}
	for k := range f.plan.Records {
		rec, t := &f.plan.Records[k], s.Other()
		name := rec.Side[t].Name
		if rec.Dormant || f.plan.There[k] != [2]bool{s == Remote, s == Local} || f.after(t, name) != to || name == to {
			continue
		}
		id := rec.ID
		rec.Side[s] = BoxSide{Name: found.Side[s].Name, ID: found.Side[s].ID, Rights: found.Side[s].Rights}
		f.plan.There[k][s] = true
		f.plan.Ops = slices.DeleteFunc(f.plan.Ops, func(o FolderOp) bool { return o.Record == k && o.Kind != FolderRename })
		same := func(v VanishedBox) bool { return v.Record == k }
		f.plan.Vanished = slices.DeleteFunc(f.plan.Vanished, same)
		f.plan.Restored = slices.DeleteFunc(f.plan.Restored, same)
		if id != 0 {
			f.plan.Restored = append(f.plan.Restored, VanishedBox{Record: k, Side: s})
		}
		return true
	}
	return false
}

// order puts renames first, parents before children; then creations, parents
// before children; then removals, children before parents.
func (f *folders) order() {
	rank := func(o FolderOp) int { return [...]int{0, 2, 1, 3}[o.Kind] }
	depth := func(o FolderOp) int {
		d := strings.Count(string(o.Name), "/")
		if o.Kind == FolderRemove {
			return -d
		}
		return d
	}
	// What the other half is called is about to change where a mailbox above
	// it is renamed.
	to := map[int]mail.MailboxName{}
	for i, o := range f.plan.Ops {
		switch other := f.plan.Records[o.Record].Side[o.Side.Other()].Name; {
		case o.Kind == FolderCreate && o.Name == other:
			f.plan.Ops[i].Name = f.after(o.Side.Other(), other)
		case o.Kind == FolderRename && o.To == other:
			to[i] = f.after(o.Side.Other(), other)
		}
	}
	for i, name := range to { // after was to go by what was seen
		f.plan.Ops[i].To = name
	}
	slices.SortStableFunc(f.plan.Ops, func(a, b FolderOp) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 {
			return c
		}
		if c := cmp.Compare(depth(a), depth(b)); c != 0 {
			return c
		}
		return cmp.Compare(a.Name, b.Name)
	})
	n := 0
	for n < len(f.plan.Ops) && f.plan.Ops[n].Kind == FolderRename {
		n++
	}
	orderRenames(f.plan.Ops[:n])
}

// orderRenames makes each rename wait for those that must come before it: a
// child leaves before the parent takes it along, and a mailbox goes into
// another one after that has its name.
func orderRenames(ops []FolderOp) {
	for i := range ops {
		left := ops[i:]
		k := slices.IndexFunc(left, func(o FolderOp) bool {
			return !slices.ContainsFunc(left, func(p FolderOp) bool {
				return p.Side == o.Side && (o.To.Within(p.To) || p.Name.Within(o.Name) && leaves(p, ops))
			})
		})
		if k > 0 { // none is free only where they wait for each other: then in the order they have
			o := left[k]
			copy(left[1:k+1], left[:k])
			left[0] = o
		}
	}
}

// leaves tells whether o renames a mailbox away from a parent that is renamed too.
func leaves(o FolderOp, ops []FolderOp) bool {
	var parent FolderOp // the nearest
	for _, p := range ops {
		if p.Side == o.Side && o.Name.Within(p.Name) && len(p.Name) > len(parent.Name) {
			parent = p
		}
	}
	return parent.Name != "" && !o.To.Within(parent.To)
}

func sortedNames(set map[mail.MailboxName]bool) []mail.MailboxName {
	names := make([]mail.MailboxName, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// A Rename is a mailbox that may have another name now.
type Rename struct {
	Side Side
	Box  mail.BoxID
	To   mail.MailboxName
}

// RenameCandidates lists the mailboxes that a side no longer lists under
// their name, each with every unknown mailbox there that may be it: the same
// ID where both have one, else the same UIDVALIDITY. The evidence is to be
// completed by comparing what they hold; it must then be one to one. INBOX is
// never renamed (RFC 9051, section 6.3.6: its messages would only be moved).
func RenameCandidates(boxes []BoxRecord, seen [2][]Box) []Rename {
	var out []Rename
	for _, s := range Sides {
		listed, known := map[mail.MailboxName]bool{}, map[mail.MailboxName]bool{}
		for _, b := range seen[s] {
			listed[b.Name] = !b.Container
		}
		for _, r := range boxes {
			known[r.Side[s].Name] = true
		}
		for _, r := range boxes {
			h := &r.Side[s]
			if r.Dormant || h.Name == "" || h.Name == mail.Inbox || listed[h.Name] {
				continue
			}
			for _, b := range seen[s] {
				if b.Container || known[b.Name] || b.Name == mail.Inbox || b.Epoch != h.Epoch {
					continue
				}
				if b.ID == h.ID && (b.ID != "" || s == Remote && b.Epoch != "") {
					out = append(out, Rename{Side: s, Box: r.ID, To: b.Name})
				}
			}
		}
	}
	return out
}
