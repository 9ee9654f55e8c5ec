package main

import (
	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/archive"
)

func (a *app) copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy-catalogue [ACCOUNT]...",
		Short: "copy the catalogue of an archive in one piece, for off-site copies",
		Long: "Writes a copy of the catalogue of an archive beside it, " + archive.CopyFile + ", as of one moment, also while a backup runs. Programs that\n" +
			"copy the archive elsewhere take this one and leave out catalogue.db itself, which is written to; all other files never change.",
		Example: "  godwit copy-catalogue personal && restic backup --exclude 'catalogue.db*' ~/.local/state/godwit/personal/archive",
		RunE: func(cmd *cobra.Command, names []string) error {
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			for _, acc := range accounts {
				if there, err := archive.There(acc.Archive); err == nil && !there.Catalogue && len(names) == 0 {
					continue
				}
				path, err := archive.CopyCatalogue(cmd.Context(), acc.Archive)
				if err != nil {
					a.fail(acc.Name, err)
					continue
				}
				a.out.info("%s: copied the catalogue to %s", acc.Name, path)
				if a.json {
					a.out.object(record{Type: "copy", Account: acc.Name, To: path})
				}
			}
			return cmd.Context().Err()
		},
	}
}
