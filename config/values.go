package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parseDuration reads spans of days and more, such as "90d", "2w" or "1w3d":
// h is an hour, d 24 hours, w 7 days, y 365 days. Minutes and months are not
// offered: both would be "m".
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no span of time: write it like \"90d\" (h hours, d days, w weeks, y years)", text)
	rest, total := text, time.Duration(0)
	if rest == "" {
		return 0, bad
	}
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return 0, bad
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		unit := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}[rest[digits]]
		if err != nil || unit == 0 {
			return 0, bad
		}
		if n > int64((math.MaxInt64-total)/unit) {
			return 0, fmt.Errorf("%q is longer than godwit can count: 200y is the most", text)
		}
		total += time.Duration(n) * unit
		rest = rest[digits+1:]
	}
	return total, nil
}

// parseTimeout reads how long something may take: "60s", "5m", at most an hour.
func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > time.Hour {
		return 0, fmt.Errorf("%q is no time to wait: write it like \"60s\" or \"5m\", from \"1s\" to \"1h\"", text)
	}
	return d, nil
}

// parseLoopback reads an address of this machine alone, with its port. What
// listens there has no password.
func parseLoopback(text string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return at, fmt.Errorf("%q is no address with a port: write it like \"127.0.0.1:9465\" or \"[::1]:9465\"", text)
	}
	if !at.Addr().Unmap().IsLoopback() {
		return at, fmt.Errorf("%q can be reached from other machines, and whoever reaches it can read it: write a loopback address, "+
			"like \"127.0.0.1:9465\", and let a proxy with a password or a tunnel lead to it", text)
	}
	return at, nil
}

// parseGuard reads "25%" or "off"; 0 means off.
func parseGuard(text string) (int, error) {
	if text == "off" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("%q is no share: write \"1%%\" to \"100%%\", or \"off\"", text)
	}
	return n, nil
}

// parseRate reads bytes a second: "2MB/s", "500kB/s".
func parseRate(text string) (int64, error) {
	bad := fmt.Errorf("%q is no rate: write it like \"2MB/s\" or \"500kB/s\"", text)
	number, ok := strings.CutSuffix(text, "B/s")
	if !ok || number == "" {
		return 0, bad
	}
	unit := int64(1)
	switch number[len(number)-1] {
	case 'k', 'K':
		unit = 1e3
	case 'M':
		unit = 1e6
	case 'G':
		unit = 1e9
	}
	if unit > 1 {
		number = number[:len(number)-1]
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, bad
	}
	return n * unit, nil
}

// ParseSize reads a number of bytes: "500B", "500kB", "10MB".
func ParseSize(text string) (int64, error) {
	n, err := parseRate(text + "/s")
	if err != nil {
		return 0, fmt.Errorf("%q is no size: write it like \"10MB\" or \"500kB\"", text)
	}
	return n, nil
}

// parseFingerprint reads "sha256:" and 64 hexadecimal digits, with colons
// between or not, and gives it in lower case without colons.
func parseFingerprint(text string) (string, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(text), "sha256:")
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(sum) != 32 {
		return "", errors.New("must be \"sha256:\" and the 64 hexadecimal digits of the certificate's SHA-256")
	}
	return "sha256:" + hex.EncodeToString(sum), nil
}

// checkSchedule tells whether text is a cron line that ever comes due.
func checkSchedule(text string) error {
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		// The parser expects the space and fails badly without it.
		if _, line, ok := strings.Cut(text, " "); !ok || strings.TrimSpace(line) == "" {
			return fmt.Errorf("%q names a time zone but no time: write it like \"CRON_TZ=Europe/Berlin 0 6 * * *\"", text)
		}
	}
	s, err := cron.ParseStandard(text)
	if err != nil {
		return fmt.Errorf("%q is no schedule (%v): write five fields like \"*/15 * * * *\", or \"@every 10m\"", text, err)
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q never comes due: there is no such day", text)
	}
	return nil
}
