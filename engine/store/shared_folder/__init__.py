"""A folder of results that several processes share: its files, and the protocol between the processes.

    index.sqlite    a row per result; short parts (up to 16 KiB); sizes of files; leases    `index` `schema`
    blobs/ab/cdef   long parts, each named by the sha256 of its content                     `blobs`
    tmp/PID-xxxx/   a sub-folder per process: a locked file `alive`, half-written blobs     `processes`
    lock            locked while a process opens or repairs the folder                      `processes`

A *part* is one binary piece of an output, such as the samples of an audio clip; an *entry* is a row of the
index with its parts.

Saving a result: `Disk.save` packs it into a `NewEntry`. The `WriteBuffer` leases (reserves) bytes of the
budget, writes the long parts as files at once, and lets the row wait for up to 50 ms. Then the `Folder`
inserts all waiting rows in one transaction of the `Index`. Loading a result: the `Reader` finds the row by
its key, through its own connection, and verifies the checksum of the row and the digest of each part.

The protocol between processes:

1. A process registers before it opens the index, and unregisters when it closes. It locks `lock` while it
   registers or repairs, so no process mistakes a new process for a dead one.
2. Writes are SQLite transactions in a write-ahead log: one process writes at a time, readers never wait. Keys
   are content keys, so a row that another process has inserted first is equivalent.
3. A file is written before its row is inserted, and deleted after its row was deleted; in between, the index
   lists it in `doomed`. A crash may leave a file without a row, never a row without its file.
4. A process leases bytes in the index before it writes a file. Rows, files and all leases together stay
   within the limit that `room` computes, so several processes together never exceed the budget.
5. A process that opens the folder while no other uses it cleans up after dead processes: it removes their
   leases, their half-written files, and files without a row.
6. A result whose checksum does not match counts as missing; it is deleted and computed again. A damaged index
   is moved aside and replaced by a new one, unless another process is using it.
"""
