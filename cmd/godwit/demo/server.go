// Package demo is a small IMAP server with sample mail, in memory and on
// loopback only, that the command of the same name synchronises with. Its
// methods change the mail on the server as another mail program would.
//
// It runs the server of the IMAP library and shares no code with what it
// demonstrates.
package demo

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// The one user of the server.
const (
	User     = "demo"
	Password = "demo"
)

// A Server serves one account on a port of its own.
type Server struct {
	Host string
	Port int

	server *imapserver.Server
	user   *imapmemserver.User
	done   chan error
}

// Start serves the sample mail on 127.0.0.1 until Close.
func Start() (*Server, error) {
	user := imapmemserver.NewUser(User, Password)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the demo's server: %w", err)
	}
	s := &Server{
		Host: "127.0.0.1",
		Port: listener.Addr().(*net.TCPAddr).Port,
		user: user,
		done: make(chan error, 1),
		server: imapserver.New(&imapserver.Options{
			NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
				return &session{imapmemserver.NewUserSession(user)}, nil, nil
			},
			Caps: imap.CapSet{
				imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {},
				imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapMove: {},
			},
			// Loopback only: nothing leaves the machine.
			InsecureAuth: true,
			Logger:       log.New(io.Discard, "", 0),
		}),
	}
	go func() { s.done <- s.server.Serve(listener) }()
	if err := s.fill(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// A session is that of the library, but tells that every system flag can be
// set: the library names only those that some message has already.
type session struct {
	*imapmemserver.UserSession
}

// Select implements imapserver.Session.
func (s *session) Select(mailbox string, options *imap.SelectOptions) (*imap.SelectData, error) {
	data, err := s.UserSession.Select(mailbox, options)
	if err != nil {
		return nil, err
	}
	for _, f := range []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft} {
		if !slices.ContainsFunc(data.PermanentFlags, func(p imap.Flag) bool { return strings.EqualFold(string(p), string(f)) }) {
			data.Flags = append(data.Flags, f)
			data.PermanentFlags = append(data.PermanentFlags, f)
		}
	}
	return data, nil
}

// Close ends the server and all connections to it.
func (s *Server) Close() {
	s.server.Close()
	<-s.done
}

func (s *Server) fill() error {
	for _, name := range Mailboxes {
		if err := s.user.Create(name, nil); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	for _, m := range Sample {
		if err := s.Append(m); err != nil {
			return err
		}
	}
	return nil
}

// Append adds a message.
func (s *Server) Append(m Message) error {
	flags := make([]imap.Flag, len(m.Flags))
	for i, f := range m.Flags {
		flags[i] = imap.Flag(f)
	}
	_, err := s.user.Append(m.Mailbox, literal{bytes.NewReader(m.Bytes())}, &imap.AppendOptions{Flags: flags, Time: m.Date})
	if err != nil {
		return fmt.Errorf("append to %s: %w", m.Mailbox, err)
	}
	return nil
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// Flag adds flags to the message with the given Message-ID.
func (s *Server) Flag(mailbox, messageID string, flags ...string) error {
	return s.with(mailbox, messageID, func(session *imapmemserver.UserSession, uids imap.UIDSet) error {
		return addFlags(session, uids, flags...)
	})
}

// Move moves the message with the given Message-ID to another mailbox.
func (s *Server) Move(mailbox, messageID, to string) error {
	return s.with(mailbox, messageID, func(session *imapmemserver.UserSession, uids imap.UIDSet) error {
		if _, err := session.Copy(uids, to); err != nil {
			return err
		}
		return expunge(session, uids)
	})
}

// Delete removes the message with the given Message-ID for good.
func (s *Server) Delete(mailbox, messageID string) error {
	return s.with(mailbox, messageID, expunge)
}

// Count is the number of messages in a mailbox, -1 if there is no such mailbox.
func (s *Server) Count(mailbox string) int {
	data, err := s.user.Status(mailbox, &imap.StatusOptions{NumMessages: true})
	if err != nil {
		return -1
	}
	return int(*data.NumMessages)
}

// Find tells whether a mailbox has a message with this Message-ID and, beside
// it, all these flags.
func (s *Server) Find(mailbox, messageID string, flags ...string) bool {
	err := s.with(mailbox, messageID, func(session *imapmemserver.UserSession, _ imap.UIDSet) error {
		criteria := byMessageID(messageID)
		for _, f := range flags {
			criteria.Flag = append(criteria.Flag, imap.Flag(f))
		}
		_, err := search(session, criteria)
		return err
	})
	return err == nil
}

// Create makes a mailbox.
func (s *Server) Create(mailbox string) error { return s.user.Create(mailbox, nil) }

// with selects a mailbox and finds a message in it.
func (s *Server) with(mailbox, messageID string, f func(*imapmemserver.UserSession, imap.UIDSet) error) error {
	session := imapmemserver.NewUserSession(s.user)
	defer session.Close()
	if _, err := session.Select(mailbox, nil); err != nil {
		return fmt.Errorf("select %s: %w", mailbox, err)
	}
	uids, err := search(session, byMessageID(messageID))
	if err == nil {
		err = f(session, uids)
	}
	if err != nil {
		return fmt.Errorf("%s in %s: %w", messageID, mailbox, err)
	}
	return nil
}

func byMessageID(id string) *imap.SearchCriteria {
	return &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: id}}}
}

func search(session *imapmemserver.UserSession, criteria *imap.SearchCriteria) (imap.UIDSet, error) {
	found, err := session.Search(imapserver.NumKindUID, criteria, &imap.SearchOptions{ReturnAll: true})
	if err != nil {
		return nil, err
	}
	uids, ok := found.All.(imap.UIDSet)
	if !ok || len(uids) == 0 {
		return nil, fmt.Errorf("no such message")
	}
	return uids, nil
}

func addFlags(session *imapmemserver.UserSession, uids imap.UIDSet, flags ...string) error {
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true}
	for _, f := range flags {
		store.Flags = append(store.Flags, imap.Flag(f))
	}
	return session.Store(nil, uids, store, nil)
}

func expunge(session *imapmemserver.UserSession, uids imap.UIDSet) error {
	if err := addFlags(session, uids, `\Deleted`); err != nil {
		return err
	}
	return session.Expunge(nil, &uids)
}

// A Message is a message of the sample.
type Message struct {
	Mailbox  string
	ID       string // Message-ID, with its angle brackets
	From, To string
	Subject  string
	Date     time.Time
	Flags    []string
	Text     string
}

// Bytes is the message as a server stores it.
func (m Message) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n", m.From, m.To, m.Subject, m.Date.Format(time.RFC1123Z), m.ID)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	b.WriteString(m.Text)
	b.WriteString("\r\n")
	return b.Bytes()
}
