# make build   the program, as ./godwit
# make demo    a server with sample mail, synced both ways; the Maildir stays in ./demo-mail
# make test    everything that a change must pass
# make fuzz    longer fuzzing: make fuzz FUZZTIME=10m
# make soak    accounts that live on while runs are killed and cut, held against
#              a model: make soak SEEDS=400 FIRST=1000 ROUNDS=20; and a daemon that
#              keeps 20 accounts in step, idle first, then killed: MINUTES=15; and
#              a life of 10,000 messages in 200 backups, restored as of 50 moments
# make bench   godwit beside mbsync and OfflineIMAP on the same work: make bench
#              BENCH='^(nochange|new)/' ROUNDS=3 MESSAGES=20000 MBSYNC=PATH TOOLS=mbsync PROFILE=DIR STORE=maildir

GO ?= go
FUZZTIME ?= 1m
SEEDS ?= 40
FIRST ?= 0
ROUNDS ?= 12
MINUTES ?= 15
BENCH ?= .
MESSAGES ?= 20000
TOOLS ?= .
STORE ?= sdbox
PROFILE ?=

.PHONY: build demo test packages lint arrows unit fuzz-short fuzz soak bench clean

build:
	$(GO) build -o godwit ./cmd/godwit

demo:
	@$(GO) run ./cmd/godwit demo --dir ./demo-mail

test: packages lint arrows unit fuzz-short

# What the tests run against: a real server and real mail programs.
packages:
	@.ci/packages

lint:
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Never from the test cache: it reads other packages than its own.
arrows:
	$(GO) test -count=1 .

unit:
	$(GO) test -race -timeout 9m ./...

fuzz-short:
	.ci/fuzz 5s

fuzz:
	.ci/fuzz $(FUZZTIME)

# In memory a life takes milliseconds: fifty for each against a real server.
soak: packages
	$(GO) test -count=1 -timeout 0 ./sync/engine -run Torture -seeds $$(($(SEEDS) * 50)) -first $$(($(FIRST) * 50))
	$(GO) test -count=1 -timeout 0 ./cmd/godwit/e2e -run 'TestRestoreMany$$' -restore-messages 5000
	$(GO) test -count=1 -timeout 0 -v ./cmd/godwit/e2e -run 'TestBackupCostsTheChange$$' -backup-messages 100000
	$(GO) test -count=1 -timeout 0 -v ./cmd/godwit/e2e -run 'TestPast$$' -past-states 200 -past-messages 10000 -past-moments 50 -past-seed $$(($(FIRST) + 1))
	$(GO) test -count=1 -timeout 0 ./imap -run 'EveryCommand|EveryByte|Silent' -every 1
	$(GO) test -count=1 -timeout 0 ./archive -run 'EveryStep' -every 1
	$(GO) test -count=1 -timeout 0 -v ./cmd/godwit/soak -run 'TestSoak$$' -seeds $(SEEDS) -first $(FIRST) -rounds $(ROUNDS)
	$(GO) test -count=1 -timeout 0 -v ./cmd/godwit/soak -run DaemonSoak -accounts 20 -boxes 50 -idle 5m -first $(FIRST) -minutes $(MINUTES)

bench: ROUNDS = 5
bench: packages
	MBSYNC="$(MBSYNC)" $(GO) test -count=1 -timeout 0 -v ./cmd/godwit/bench -run Bench -rows '$(BENCH)' -rounds $(ROUNDS) -messages $(MESSAGES) \
		-tools '$(TOOLS)' -profile '$(abspath $(PROFILE))' -store $(STORE) -rtt 50ms -margin 2100ms

clean:
	rm -rf godwit demo-mail
