package config

import "reflect"

// The raw types mirror the file: their tags are all keys there are. Pointers
// tell what is written from what is not.

type rawFile struct {
	StateDir *string               `toml:"state_dir"`
	Daemon   rawDaemon             `toml:"daemon"`
	Defaults rawAccount            `toml:"defaults"`
	Accounts map[string]rawAccount `toml:"accounts"`
}

type rawDaemon struct {
	Metrics *string `toml:"metrics"`
}

type rawAccount struct {
	Host           *string `toml:"host"`
	Port           *int64  `toml:"port"`
	TLS            *string `toml:"tls"`
	AllowPlaintext *bool   `toml:"allow_plaintext"`
	CAFile         *string `toml:"ca_file"`
	TLSFingerprint *string `toml:"tls_fingerprint"`

	Username        *string    `toml:"username"`
	Password        *string    `toml:"password"`
	PasswordCommand *string    `toml:"password_command"`
	PasswordFile    *string    `toml:"password_file"`
	Keyring         *bool      `toml:"keyring"`
	OAuth2          *rawOAuth2 `toml:"oauth2"`

	Maildir        *string  `toml:"maildir"`
	Layout         *string  `toml:"layout"`
	FolderEncoding *string  `toml:"folder_encoding"`
	Inbox          *string  `toml:"inbox"`
	Folders        []string `toml:"folders"`

	Mode          *string  `toml:"mode"`
	Backup        *bool    `toml:"backup"`
	Archive       *string  `toml:"archive"`
	Keep          *rawKeep `toml:"keep"`
	Schedule      *string  `toml:"schedule"`
	Idle          []string `toml:"idle"`
	DeleteGuard   *string  `toml:"delete_guard"`
	DeleteFolders *bool    `toml:"delete_folders"`
	KeepDeleted   *string  `toml:"keep_deleted"`
	Connections   *int64   `toml:"connections"`
	LimitRate     *string  `toml:"limit_rate"`
	FSync         *bool    `toml:"fsync"`
	Compress      *string  `toml:"compress"`

	OnNewMail   *string `toml:"on_new_mail"`
	OnChange    *string `toml:"on_change"`
	OnError     *string `toml:"on_error"`
	AfterBackup *string `toml:"after_backup"`
	HookTimeout *string `toml:"hook_timeout"`
}

type rawOAuth2 struct {
	Provider     *string  `toml:"provider"`
	ClientID     *string  `toml:"client_id"`
	ClientSecret *string  `toml:"client_secret"`
	AuthURL      *string  `toml:"auth_url"`
	TokenURL     *string  `toml:"token_url"`
	DeviceURL    *string  `toml:"device_url"`
	Scopes       []string `toml:"scopes"`
}

type rawKeep struct {
	Within  *string `toml:"within"`
	Last    *int64  `toml:"last"`
	Daily   *int64  `toml:"daily"`
	Weekly  *int64  `toml:"weekly"`
	Monthly *int64  `toml:"monthly"`
	Yearly  *int64  `toml:"yearly"`
	Grace   *string `toml:"grace"`
}

// secretSources are the keys that say where an account's secret comes from. An
// account that has one of its own takes none from [defaults].
var secretSources = [...]string{"password", "password_command", "password_file", "keyring", "oauth2"}

// merged is a with what it leaves out taken from d.
func (a rawAccount) merged(d rawAccount) rawAccount {
	own, from := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&d).Elem()
	hasSource := false
	for _, key := range secretSources {
		hasSource = hasSource || !fieldOf(own, key).IsNil()
	}
	for i := range own.NumField() {
		key := own.Type().Field(i).Tag.Get("toml")
		if own.Field(i).IsNil() && (!hasSource || !isSecretSource(key)) {
			own.Field(i).Set(from.Field(i))
		}
	}
	return a
}

func isSecretSource(key string) bool {
	for _, s := range secretSources {
		if s == key {
			return true
		}
	}
	return false
}

func fieldOf(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
