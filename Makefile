# make build   the program, as ./godwit
# make demo    a server with sample mail, synced both ways; the Maildir stays in ./demo-mail
# make test    everything that a change must pass
# make fuzz    longer fuzzing: make fuzz FUZZTIME=10m

GO ?= go
FUZZTIME ?= 1m

.PHONY: build demo test packages lint arrows unit fuzz-short fuzz clean

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

clean:
	rm -rf godwit demo-mail
