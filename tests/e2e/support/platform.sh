#!/bin/bash
# What the built-in Python image of App Service does at a start, as its public scripts have it: PID 1
# is a bash that unpacks the site, has a script written for the Startup Command, and runs that script
# without exec. Run by tests/e2e/deploy.rs as ARCHIVE DIRECTORY COMMAND, with the platform's variables.
archive=$1 directory=$2 command=$3
[ "$$" = 1 ] || { echo 'not PID 1'; exit 1; }

mkdir -p "$directory"
tar -xzf "$archive" -C "$directory"

# In the place of the program of that name.
oryx() {
    local command=$2
    # A file of the site is made executable.
    [ ! -f "$directory/$command" ] || chmod +x "$directory/$command"
    cat >"$directory.sh" <<END
#!/bin/sh
cd "$directory"
export APP_PATH="$directory"
if [ -z "\$HOST" ]; then
    export HOST=0.0.0.0
fi
if [ -z "\$PORT" ]; then
    export PORT=80
fi
. antenv/bin/activate
PATH="\$PATH:$directory" && $command
END
    chmod +x "$directory.sh"
}
eval "oryx -userStartupCommand '$command'"
"$directory.sh"
