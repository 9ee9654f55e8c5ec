package imaptest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// dovecotConf is the part of the configuration that every server has.
const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/state
instance_name = test
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
first_valid_uid = 1
first_valid_gid = 1
mail_uid = %[2]s
mail_gid = %[3]s
mail_location = %[4]s
mail_max_userip_connections = 500
mailbox_list_index = yes
mail_fsync = never
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {
  driver = static
  args = password=` + Password + `
}
userdb {
  driver = static
  args = uid=%[2]s gid=%[3]s home=%[1]s/home/%%u
}
`

const roles = `
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Sent {
    special_use = \Sent
  }
  mailbox Junk {
    special_use = \Junk
  }
  mailbox Trash {
    special_use = \Trash
  }
  mailbox Archive {
    special_use = \Archive
  }
`

// writeConfig writes dovecot.conf and the directories it names.
func (s *Server) writeConfig() error {
	owner, group, err := mailUser()
	if err != nil {
		return err
	}
	// The login processes and the owner of the mail must get through.
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"run", "state", "home"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := giveTo(owner, filepath.Join(s.Dir, "home")); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, dovecotConf, s.Dir, owner, group, s.shape.location)
	fmt.Fprintf(&b, "namespace inbox {\n  inbox = yes\n  separator = %s\n  prefix = %s\n%s}\n", s.shape.separator, s.shape.prefix, roles)
	s.services(&b, owner, group)
	s.plugins(&b)
	for _, lines := range s.shape.extra {
		fmt.Fprintf(&b, "%s\n", lines)
	}
	return os.WriteFile(s.config(), []byte(b.String()), 0o644)
}

func (s *Server) services(b *strings.Builder, owner, group string) {
	if s.shape.tls {
		fmt.Fprintf(b, "ssl = yes\nssl_cert = <%[1]s/cert.pem\nssl_key = <%[1]s/key.pem\n", s.Dir)
	} else {
		b.WriteString("ssl = no\n")
	}
	// Without root there is no chroot, and no other user to become.
	if os.Geteuid() != 0 {
		fmt.Fprintf(b, "default_internal_user = %[1]s\ndefault_login_user = %[1]s\ndefault_internal_group = %[2]s\n", owner, group)
		b.WriteString("service anvil {\n  chroot =\n}\nservice stats {\n  chroot =\n}\n")
	}
	fmt.Fprintf(b, "service imap-login {\n  chroot =\n  service_count = 0\n  inet_listener imap {\n    port = %d\n  }\n", s.Port)
	fmt.Fprintf(b, "  inet_listener imaps {\n    port = %d\n  }\n}\n", s.TLSPort)
	b.WriteString("service imap {\n  process_limit = 500\n  service_count = 500\n}\n")
}

func (s *Server) plugins(b *strings.Builder) {
	mail, imap := "$mail_plugins", "$mail_plugins imap_zlib"
	if len(s.shape.readOnly) > 0 {
		mail, imap = mail+" acl", imap+" imap_acl"
		acl := filepath.Join(s.Dir, "acl")
		var lines strings.Builder
		for _, name := range s.shape.readOnly {
			fmt.Fprintf(&lines, "%q owner lr\n%q anyone lr\n", name, name)
		}
		// A mistake here would show as a server that does not start.
		_ = os.WriteFile(acl, []byte(lines.String()), 0o644)
		fmt.Fprintf(b, "plugin {\n  acl = vfile:%s:cache_secs=0\n}\n", acl)
	}
	fmt.Fprintf(b, "mail_plugins = %s\nprotocol imap {\n  mail_plugins = %s\n", mail, imap)
	if s.shape.capability != "" {
		fmt.Fprintf(b, "  imap_capability = %s\n", s.shape.capability)
	}
	b.WriteString("}\n")
}

func giveTo(name, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}
