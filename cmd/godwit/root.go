package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/network"
	"github.com/godwit-mail/godwit/config"
)

// An app is one call of godwit: what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            config.Env
	now            func() time.Time
	// network tells the daemon of changes of the network: see network.Watch.
	network func(ctx context.Context, changed func()) error

	configFile           string
	json, verbose, quiet bool

	started bool // a command was found and its arguments are well-formed
	code    exitCode
	out     *printer
}

// run is godwit: args are without the program's name. It returns the exit
// code, and can be called any number of times in one process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env config.Env) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env, now: time.Now, network: network.Watch}
	a.out = &printer{app: a}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = &usageError{err}
		a.json = a.json || slices.Contains(args, "--json") // the flags may not have been looked at
	}
	if err != nil {
		a.fail("", err)
	}
	if a.json {
		exit := int(a.code)
		a.out.object(record{Type: "summary", Exit: &exit})
	}
	return int(a.code)
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "godwit",
		Short: "keeps IMAP accounts and Maildirs in step, and loses no mail",
		Long: "godwit keeps IMAP accounts and Maildirs in step, both ways, and loses no mail.\n\n" +
			"Exit codes: 0 both sides agree, 1 something failed, 2 usage or configuration,\n" +
			"3 something is held for you to decide, 4 another run is under way, 130 interrupted.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.quiet && a.verbose {
				return errors.New("-q and -v contradict each other: give one of them")
			}
			a.started = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "read this configuration `FILE` (default $XDG_CONFIG_HOME/godwit/config.toml)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object a line, the last one a summary")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "tell of every single change")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print errors only, and what waits for you")
	root.AddCommand(a.syncCommand(), a.daemonCommand(), a.checkCommand(), a.statusCommand(), a.logCommand(),
		a.verifyCommand(), a.historyCommand(), a.restoreCommand(), a.migrateCommand(), a.drillCommand(), a.pruneCommand(), a.holdCommand(), a.copyCommand(),
		a.demoCommand(), a.versionCommand())
	return root
}

// fail reports an error and remembers its exit code.
func (a *app) fail(account string, err error) {
	a.code = worse(a.code, codeOf(err))
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "interrupted: what was done is recorded, the next run goes on from there"
	}
	a.complain(account, text)
	if a.json {
		a.out.object(record{Type: "error", Account: account, Text: text})
	}
	var usage *usageError
	if errors.As(err, &usage) && !a.started {
		fmt.Fprintln(a.stderr, "see: godwit --help")
	}
}

// complain writes to standard error, each line named.
func (a *app) complain(account, text string) {
	prefix := "godwit: "
	if account != "" {
		prefix += account + ": "
	}
	for _, line := range strings.Split(text, "\n") {
		a.out.errorLine(prefix + line)
		prefix = ""
	}
}

// load reads the configuration.
func (a *app) load() (*config.Config, error) {
	path := a.configFile
	if path == "" {
		var err error
		if path, err = config.DefaultFile(a.env); err != nil {
			return nil, &usageError{err}
		}
	}
	c, err := config.Load(path, a.env)
	if err != nil {
		var wrong config.Errors
		if errors.As(err, &wrong) {
			return nil, err
		}
		return nil, &usageError{err}
	}
	return c, nil
}

// choose finds the accounts that are named, or all.
func choose(c *config.Config, names []string) ([]*config.Account, error) {
	if len(names) == 0 {
		return c.Accounts, nil
	}
	var out []*config.Account
	seen := map[string]bool{}
	for _, name := range names {
		acc, ok := c.Account(name)
		if !ok {
			return nil, &usageError{fmt.Errorf("there is no account %q: the configuration has %s", name, strings.Join(c.Names(), ", "))}
		}
		if !seen[name] {
			out = append(out, acc)
		}
		seen[name] = true
	}
	return out, nil
}
