package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/control"
	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/cmd/godwit/telemetry"
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
	for _, acc := range conf.Accounts {
		if err := unsupported(acc); err != nil && (acc.Synced() || len(conf.Accounts) == 1) {
			return fmt.Errorf("%s: %w", acc.Name, err)
		}
	}
	log := newLogger(a.stderr, a.json, a.verbose, a.quiet, a.env("JOURNAL_STREAM"))
	d := &daemon{
		app: a, log: log, file: conf.File, read: lookAt(conf.File), own: conf.Daemon, served: map[string]*served{},
		tally: telemetry.NewTally(versionText()), unit: newUnit(log, a.env("NOTIFY_SOCKET")),
	}
	// What is opened here is closed where it is served.
	socket := socketPath(conf, a.env)
	server, err := control.Listen(socket, func(own context.Context, call control.Call, send func(any)) (int, error) {
		return d.hear(ctx, own, call, send)
	})
	if err != nil {
		return err
	}
	var web *telemetry.Server
	if conf.Daemon.Metrics.IsValid() {
		if web, err = telemetry.Listen(conf.Daemon.Metrics, d.tally, d.standings, log); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	return d.serve(ctx, conf, socket, server, web)
}

// serve keeps all accounts in step, and answers who asks, until ctx ends. web
// may be nil.
func (d *daemon) serve(ctx context.Context, conf *config.Config, socket string, server *control.Server, web *telemetry.Server) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	d.hooks = hook.New(ctx, hook.Environment(d.app.env), hookRest, d.hooked())
	d.log.Info("started", "accounts", len(conf.Accounts), "version", versionText(), "config", d.file, "socket", socket)
	d.apply(ctx, conf)
	d.all.Go(func() { d.watchConfig(ctx, hup) })
	d.all.Go(func() { d.watchNetwork(ctx) })
	d.all.Go(func() { d.watchStops(ctx) })
	if web != nil {
		d.log.Info("metrics are told", "address", web.Addr().String())
		d.all.Go(func() {
			if err := web.Serve(ctx); err != nil {
				d.log.Error("metrics are told no more", "error", err)
			}
		})
	}
	d.unit.say(sd.SdNotifyReady)
	stopping := context.AfterFunc(ctx, func() {
		d.log.Info("ending")
		d.unit.say(sd.SdNotifyStopping)
	})
	defer stopping()
	d.all.Go(func() { d.attend(ctx, socket) })
	err := server.Serve(ctx)
	d.all.Wait()
	d.hooks.Close()
	d.log.Info("ended")
	return err
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
	if errors.Is(err, control.ErrNoDaemon) {
		// One that the system runs has no runtime directory of the user's.
		code, err = control.Do(ctx, stateSocket(conf), call, decoded(each))
	}
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		return 0, false, nil
	case err != nil:
		return exitFailed, true, err
	}
	return exitCode(code), true, nil
}
