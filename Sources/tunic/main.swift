Tunic.start()
