package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "tell which godwit this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := versionText()
			if a.json {
				a.out.object(record{Type: "version", Version: version})
			}
			a.out.line("godwit %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// versionText is the version that the Go tool has recorded, with the commit
// where that is known.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version, commit, changed := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = " " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if version == "" || version == "(devel)" {
		version = "development"
	}
	return version + commit + changed
}
