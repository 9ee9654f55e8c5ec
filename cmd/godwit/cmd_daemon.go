package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/control"
	"github.com/godwit-mail/godwit/config"
)

func (a *app) daemonCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "daemon",
		Short: "keep every account in step until told to stop",
		Long: "Runs every account once, and from then on whenever something changes on the server or in the Maildir, and by schedule.\n" +
			"Ends cleanly on SIGTERM or SIGINT; reads the configuration again on SIGHUP and when the file changes.\n" +
			"While it runs, godwit sync and godwit status ask it. Logs to standard error; --json for a log of JSON objects, -v for every change.",
		Example: "  godwit daemon\n  godwit daemon --json -v",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.daemon(cmd.Context()) },
	}
}

func (a *app) daemon(ctx context.Context) error {
	conf, err := a.load()
	if err != nil {
		return err
	}
	if conf.File, err = filepath.Abs(conf.File); err != nil {
		return err
	}
	d := &daemon{app: a, log: newLogger(a.stderr, a.json, a.verbose, a.quiet), file: conf.File, read: lookAt(conf.File), served: map[string]*served{}}
	server, err := control.Listen(socketPath(conf, a.env), func(own context.Context, call control.Call, send func(any)) (int, error) {
		return d.hear(ctx, own, call, send)
	})
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for _, acc := range conf.Accounts {
		if err := unsupported(acc); err != nil && (acc.Synced() || len(conf.Accounts) == 1) {
			return fmt.Errorf("%s: %w", acc.Name, err)
		}
	}
	d.apply(ctx, conf)
	d.log.Info("started", "accounts", len(d.served), "version", versionText())
	d.all.Go(func() { d.watchConfig(ctx, hup) })
	err = server.Serve(ctx)
	d.all.Wait()
	d.log.Info("ended")
	return err
}

// newLogger logs for people, or as JSON objects.
func newLogger(w io.Writer, json, verbose, quiet bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case verbose:
		options.Level = slog.LevelDebug
	case quiet:
		options.Level = slog.LevelWarn
	}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// checksum makes a short name of a path.
func checksum(path string) uint32 { return crc32.ChecksumIEEE([]byte(filepath.Clean(path))) }

// askDaemon lets a running daemon do what a command was asked for, and hands
// what it tells to each. done is false if none runs; then the command does it.
func (a *app) askDaemon(ctx context.Context, conf *config.Config, command string, args any, each func(sent) error) (exit exitCode, done bool, err error) {
	text, err := json.Marshal(args)
	if err != nil {
		return 0, false, err
	}
	file, err := filepath.Abs(conf.File)
	if err != nil {
		return 0, false, err
	}
	call := control.Call{Version: versionText(), Config: file, Command: command, Args: text}
	code, err := control.Do(ctx, socketPath(conf, a.env), call, decoded(each))
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		return 0, false, nil
	case err != nil:
		return exitFailed, true, err
	}
	return exitCode(code), true, nil
}
