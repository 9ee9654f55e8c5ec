package wire

import "bytes"

// loggedIn takes the OK that ends a login, whose cursor stands behind it. The
// library asks for the capabilities behind such an OK unless it tells them in
// a code, and does so at a moment of its own. So the code is always there:
// the server's, else what it told by CAPABILITY just before (RFC 9051, section
// 6.2.2, allows both), else those of before the login, which LoginTold tells.
func (c *Conn) loggedIn(tag string, k *cursor) {
	k.spaces()
	rest := bytes.Clone(k.rest())
	c.mu.Lock()
	told := []byte(c.caps)
	c.mu.Unlock()
	if code := []byte("[CAPABILITY "); len(rest) >= len(code) && bytes.EqualFold(rest[:len(code)], code) {
		c.tell(true)
		c.status(tag, "OK", k, nil)
		return
	}
	c.tell(len(told) > 0)
	if alert := []byte("[ALERT]"); len(rest) >= len(alert) && bytes.EqualFold(rest[:len(alert)], alert) {
		// It is not the first code any more, which the library would look at.
		c.hideRest(k)
		noteText(c, &c.alerts, tidy(string(k.rest()[len(alert):])), maxTexts)
	}
	if len(told) == 0 {
		told = []byte("IMAP4rev1")
	}
	line := append([]byte("[CAPABILITY "), bytes.TrimSpace(told)...)
	c.status(tag, "OK", &cursor{c: c, line: append(append(line, "] "...), rest...)}, nil)
}

func (c *Conn) tell(told bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = told
}

// LoginTold tells whether the server told its capabilities with the answer to
// the login. If not, those that the library knows now say nothing, and the
// caller asks by CAPABILITY.
func (c *Conn) LoginTold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told
}
