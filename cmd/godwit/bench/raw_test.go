package bench

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// rawPipe logs in, selects INBOX, fetches every body with what a sync needs to
// know of it, and throws it all away: the most that the server can do.
func rawPipe(server *imaptest.Server, user string, overTLS bool) (usage, error) {
	began := time.Now()
	var conn net.Conn
	conn, err := net.Dial("tcp", server.Addr())
	if overTLS {
		conn, err = dialTLS(server)
	}
	if err != nil {
		return usage{}, err
	}
	defer conn.Close()
	buf := make([]byte, 256<<10)
	if err := awaitLine(conn, buf, "* OK"); err != nil {
		return usage{}, err
	}
	for i, command := range []string{"LOGIN " + user + " " + imaptest.Password, "EXAMINE INBOX", "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"} {
		if _, err := fmt.Fprintf(conn, "x%d %s\r\n", i, command); err != nil {
			return usage{}, err
		}
		if err := awaitLine(conn, buf, fmt.Sprintf("x%d OK", i)); err != nil {
			return usage{}, err
		}
	}
	return usage{wall: time.Since(began)}, nil
}

func dialTLS(server *imaptest.Server) (net.Conn, error) {
	pem, err := os.ReadFile(server.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return tls.Dial("tcp", net.JoinHostPort(server.Host, strconv.Itoa(server.TLSPort)), &tls.Config{RootCAs: roots})
}

// awaitLine reads until the last line that came begins so.
func awaitLine(conn io.Reader, buf []byte, begins string) error {
	var tail []byte
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", begins, err)
		}
		tail = append(tail, buf[max(0, n-1000):n]...)
		tail = tail[max(0, len(tail)-1000):]
		line, ended := bytes.CutSuffix(tail, []byte("\r\n"))
		if ended && bytes.HasPrefix(line[bytes.LastIndexByte(line, '\n')+1:], []byte(begins)) {
			return nil
		}
	}
}
